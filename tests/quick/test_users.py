"""Users, profiles and preferences, one collection at a time."""

import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from models import Preferences, Profile, User
from models.user import UserContent

pytestmark = pytest.mark.usefixtures("database")


async def test_a_user_is_found_by_any_spelling_of_their_email():
    ann = await User.create_user(UserContent(email=" Ann@BÜCHER.example ", name="Ann"))
    found = await User.find_by_email("ANN@bücher.EXAMPLE")
    assert found is not None
    assert (found.id, found.email, found.name) == (ann.id, "ann@xn--bcher-kva.example", "Ann")
    assert (found.roles, found.role, found.version, found.guard) == (["user"], None, 1, 0)
    assert await User.find_by_email("nobody@example.com") is None
    assert await User.find_by_email("no email") is None


async def test_an_email_is_taken_once():
    await User.create_user(UserContent(email="ann@example.com"))
    with pytest.raises(DuplicateKeyError):
        await User.create_user(UserContent(email="Ann@Example.com"))


async def test_any_number_of_users_have_no_email():
    await User.create_user(UserContent(name="Ann"))
    await User.create_user(UserContent(name="Ben"))
    assert await User.raw().count_documents({"email": {"$exists": False}}) == 2


async def test_users_are_found_by_their_ids():
    ann, ben = [await User.create_user(UserContent(name=name)) for name in ("Ann", "Ben")]
    found = await User.find_by_ids([ann.id, ben.id, ObjectId()])
    assert {user.name for user in found} == {"Ann", "Ben"}


async def test_a_login_moves_last_login_and_no_version():
    ann = await User.create_user(UserContent(name="Ann"))
    await ann.update_last_login()
    row = await User.raw().find_one({"_id": ann.id})
    assert row["lastLogin"] == ann.last_login
    assert row["version"] == 1


async def test_a_login_of_a_user_who_is_gone_says_so():
    with pytest.raises(LookupError):
        await User(id=ObjectId()).update_last_login()


@pytest.mark.parametrize(
    "call", [Profile.find_or_create_profile, Preferences.find_or_create_preferences]
)
async def test_find_or_create_makes_one_document(call):
    user_id = ObjectId()
    first, second = await call(user_id), await call(user_id)
    assert first.id == second.id
    assert (first.user_id, first.version) == (user_id, 1)
    assert await type(first).raw().count_documents({}) == 1


async def test_new_preferences_have_the_defaults():
    made = await Preferences.find_or_create_preferences(ObjectId())
    assert (made.theme, made.language) == ("auto", "en")
    assert made.notifications.model_dump() == {"email": True, "push": True, "in_app": True}


async def test_a_change_moves_the_version_and_a_stale_one_finds_nothing():
    user_id = ObjectId()
    await Profile.find_or_create_profile(user_id)
    changed = await Profile.change(
        {"userId": user_id}, {"bio": "sails", "metadata": {"$ref": 1}}, expected=1
    )
    assert changed is not None
    assert (changed.bio, changed.metadata, changed.version) == ("sails", {"$ref": 1}, 2)
    assert await Profile.change({"userId": user_id}, {"bio": "rows"}, expected=1) is None
    cleared = await Profile.change({"userId": user_id}, {"bio": None})
    assert cleared is not None
    assert (cleared.bio, cleared.version) == (None, 3)


async def test_a_profile_is_populated_with_its_user():
    ann = await User.create_user(UserContent(name="Ann"))
    profile = await Profile.find_or_create_profile(ann.id)
    assert profile.user is None
    await profile.populate()
    assert profile.user is not None and profile.user.name == "Ann"
