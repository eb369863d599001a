"""What the verbs share: arguments, completion, and answering with the broker on a console."""
