"""The layers around the application, plain ASGI each."""
