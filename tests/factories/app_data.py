"""Where the tests of app data write."""

DATA = "/v1/users/me/apps/notes/data"

K = f"{DATA}/k"
