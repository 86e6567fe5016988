"""How the traffic goes: how much, how quick, how dear, over time."""
