"""Log lines that are kept to be looked at."""

import io


class Kept(io.BytesIO):
    """Stays open: the application logs its stop after the test."""

    def close(self) -> None:
        pass
