"""A user's own recipes among those of the package."""

from dataclasses import replace

import pytest

from experiments.recipes import RECIPES


def test_a_recipe_is_registered_under_its_own_name():
    with pytest.raises(ValueError, match=r"\['mine'\]: its name is 'floor', .* name='mine'\)"):
        RECIPES["mine"] = replace(RECIPES["floor"], num_samples=8192)
    assert "mine" not in RECIPES
    RECIPES["mine"] = mine = replace(RECIPES["floor"], name="mine")
    assert RECIPES["mine"] is mine


def test_what_a_recipe_must_be():
    with pytest.raises(TypeError, match=r"RECIPES\['mine'\]: give a Recipe, as replace"):
        RECIPES["mine"] = "floor"
    with pytest.raises(ValueError, match="architecture 'net66': there is net6, "):
        RECIPES["mine"] = replace(RECIPES["floor"], name="mine", architecture="net66")


def test_a_clip_that_no_gan_makes_is_told_by_its_options(small_recipe):
    gan = replace(small_recipe.gan, spectrogram_critic=True)
    said = "^--gan-spectrogram-critic needs --num-samples of at least 256, found 128"
    with pytest.raises(ValueError, match=said):
        replace(small_recipe, num_samples=128, gan=gan).clip_gan  # noqa: B018
