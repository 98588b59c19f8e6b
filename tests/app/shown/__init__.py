"""Tests of app/shown."""
