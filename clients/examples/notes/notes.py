"""Notes on the command line, offline too: notes.py sign-in EMAIL | add TEXT | list | edit ID TEXT |
rm ID | sign-out"""

import os
import sys
import uuid
from pathlib import Path

import satchel_client as satchel

HOME = Path(os.environ.get("NOTES_HOME", Path.home() / ".notes"))
SERVER = os.environ.get("NOTES_SERVER", "http://127.0.0.1:8000")


def main(command: str = "list", *arguments: str) -> None:
    """Do one command, and show the notes."""
    HOME.mkdir(parents=True, exist_ok=True)
    session = satchel.Session(SERVER, satchel.InFile(HOME / "tokens"), device_info="notes.py")
    if command == "sign-in":
        challenge = session.request_code(email=arguments[0])
        session.sign_in(challenge, input("The code: "))
        return
    store = satchel.Store(
        session,
        "notes",
        folder=HOME,
        on_conflict=satchel.merge_fields,
        on_refused=lambda refusal: print(f"refused: {refusal.key}: {refusal.errors}"),
    )
    text = " ".join(arguments if command == "add" else arguments[1:])
    if command == "add":
        store.put(f"note.{uuid.uuid4().hex[:6]}", {"text": text})
    elif command == "edit":
        store.patch(f"note.{arguments[0]}", {"text": text})
    elif command == "rm":
        store.delete(f"note.{arguments[0]}")
    elif command == "sign-out":
        session.sign_out()
        return
    try:
        store.flush()
    except (satchel.Unreachable, satchel.SatchelError):
        print(f"offline: {store.pending} notes wait to be sent", file=sys.stderr)
    for note in store.list("note."):
        print(
            f"{note.key.removeprefix('note.')}{'…' if note.pending else ' '} {note.value['text']}"
        )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except satchel.SignedOut:
        sys.exit("sign in first: notes.py sign-in EMAIL")
    except satchel.UnsentWork as error:
        sys.exit(str(error))
