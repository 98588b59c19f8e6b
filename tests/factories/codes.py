"""One-time codes that are sent back."""


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"
