"""Real sockets under a test's control: a scripted upstream, a raw client, and a gateway between them."""
