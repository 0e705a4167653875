"""The Boltzmann generator, its flow and its target."""
