"""What is promised of all documents together."""

from models.relations import RELATIONS, Insert


def test_hot_inserts_are_those_of_the_design() -> None:
    hot = {
        relation.child.collection_name() for relation in RELATIONS if relation.insert is Insert.HOT
    }
    assert hot == {"activities", "appdata", "analytics"}
