"""Chat clients behind one protocol: servers, models in this process, models in Ray workers."""
