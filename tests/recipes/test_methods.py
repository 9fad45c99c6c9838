"""Which methods take which data: one table for errors, another in words for people; they agree."""

from pairwright.commandline import objectives
from pairwright.recipes import methods
from pairwright.records import Demonstration, Preference, Ranking, Rating, Steps


def test_every_objective_is_a_method():
    assert methods.names() == [objective.name for objective in objectives.objectives()]


def test_methods_by_their_data():
    assert methods.methods_for(Rating) == ["kto"]
    assert methods.methods_for(Demonstration) == ["sft"]
    assert methods.methods_for(Steps) == ["step_dpo"]
    on_own_answers = [name for name in methods.names() if methods.module(name).INPUT == "sampled"]
    assert on_own_answers == ["grpo", "ppo", "rloo"]
    offline = [name for name in methods.names() if name not in on_own_answers]
    assert methods.methods_for(Preference) == [name for name in offline if name != "step_dpo"]
    assert methods.methods_for(Ranking) == [name for name in offline if name not in ("step_dpo", "kto")]


def test_the_words_say_the_same():
    words = {Preference: "pairs", Ranking: "rankings", Steps: "steps"}
    words |= {Rating: "labelled answers", Demonstration: "demonstrations"}
    for kind, word in words.items():
        named = [objective.name for objective in objectives.objectives() if word in objective.data]
        assert named == methods.methods_for(kind)
