"""What the steps of a migration share."""


class StepRefused(Exception):
    """A step cannot be taken with the data as it is; the message says what to do first."""
