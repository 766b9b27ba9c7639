"""What the data plane says of itself when it is asked: status, explanations."""
