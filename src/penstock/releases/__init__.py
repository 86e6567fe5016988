"""What shapes an answer, versioned: every answer names its release."""
