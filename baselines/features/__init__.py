"""Features that several supervised systems share: each an extractor of `repro.data.features`, computed once a clip."""
