"""The parts of DataLoader: collating, fetching and worker processes."""
