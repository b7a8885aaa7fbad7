"""Problems the platform can work on. Each is a plug-in: it imports modelway, nothing imports it."""
