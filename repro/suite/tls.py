"""Who may join a cluster: certificates for those who belong to it, and no open address without them."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LOOPBACK", "Tls", "check_listening", "is_loopback", "make_certificates"]

LOOPBACK = "127.0.0.1"
"""Where a cluster listens unless told otherwise: no other machine reaches it."""


@dataclass(frozen=True)
class Tls:
    """A folder with what a member of a cluster shows and what it asks of the others, in PEM files.

    Parameters
    ----------
    folder : Path
        Holds ``certificate.pem``, ``key.pem``, and ``authority.pem``, by which the certificates of the others are
        judged. Whoever can read the key can run code on every machine of the cluster.
    """

    folder: Path

    @property
    def certificate(self) -> Path:
        """What this member shows."""
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """The private key of the certificate."""
        return self.folder / "key.pem"

    @property
    def authority(self) -> Path:
        """Who must have signed what the others show."""
        return self.folder / "authority.pem"

    def check(self) -> Tls:
        """Return itself if its files can be used.

        Raises
        ------
        ValueError
            If a file is missing, or others may read the key.
        """
        for file in (self.certificate, self.key, self.authority):
            if not file.is_file():
                raise ValueError(
                    f"--tls {self.folder}: {file.name} is missing; `repro certificates DIR` makes a folder"
                )
        if os.name == "posix" and stat.S_IMODE(self.key.stat().st_mode) & 0o077:
            raise ValueError(f"--tls {self.folder}: others may read {self.key}; run chmod 600 {self.key}")
        return self

    def security(self) -> Any:
        """Return the settings of a client, a scheduler and a worker.

        Returns
        -------
        distributed.Security
            Demands encryption and a certificate of both sides of every connection.

        Raises
        ------
        ValueError
            If the files are no certificate and key that belong together.
        """
        from distributed import Security

        names = {"cert": str(self.certificate.absolute()), "key": str(self.key.absolute())}
        roles = {
            f"tls_{role}_{what}": name for role in ("client", "scheduler", "worker") for what, name in names.items()
        }
        security = Security(require_encryption=True, tls_ca_file=str(self.authority.absolute()), **roles)
        try:
            security.get_connection_args("client")
        except OSError as error:  # that of the ssl module is one
            raise ValueError(f"--tls {self.folder}: these files cannot be used ({error}); make new ones") from error
        return security


def make_certificates(folder: Path, *, days: int = 365) -> Tls:
    """Make a certificate that is its own authority, for all the members of one cluster.

    Parameters
    ----------
    folder : Path
        Must not exist. Its owner alone may read it.
    days : int
        How long the certificate is valid.

    Returns
    -------
    Tls

    Raises
    ------
    ValueError
        If the folder exists or cannot be written, or the command ``openssl`` is missing or fails.
    """
    if folder.exists():
        raise ValueError(f"{folder} is there already; give another, or remove it if no cluster uses it")
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ValueError("certificates are made by the command openssl, which is missing; install it")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror}); give another") from error
    try:
        made = Tls(draft)
        command = [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", str(days), "-subj", "/CN=repro", "-keyout", str(made.key), "-out", str(made.certificate),
        ]  # fmt: skip
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise ValueError(f"openssl made no certificate: {run.stderr.strip()}")
        made.key.chmod(0o600)
        shutil.copy(made.certificate, made.authority)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Tls(folder)


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is one that only this machine reaches."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def check_listening(host: str, tls: Tls | None, *, insecure: bool) -> None:
    """Refuse to listen where other machines connect, unless they must show a certificate.

    Raises
    ------
    ValueError
        If there is neither a certificate nor the word of the user that nobody else reaches the address.
    """
    if tls is None and not insecure and not is_loopback(host):
        raise ValueError(
            f"other machines reach {host}, and whoever does could run code here: make certificates with "
            "`repro certificates DIR` and give --tls DIR to all members of the cluster; --insecure does without them "
            "on a network that nobody else can reach"
        )
