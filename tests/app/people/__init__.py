"""Tests of people in and out."""
