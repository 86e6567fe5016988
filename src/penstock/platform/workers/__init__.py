"""Several processes that serve one app: who starts them, what each is told, and how they ask each other."""
