"""A repetition's draws: each purpose and each repetition has a stream of its own."""

import torch

from src.synthetic.tasks import draw_task


def task(index: int):
    size = {"num_patches": 8, "set_size": 2, "patch_dim": 4, "distractor_prob": 0.4}
    return draw_task(0, index, **size, device=torch.device("cpu"))


def test_training_and_test_inputs_of_a_repetition_are_other_draws():
    train, again, test = (task(0).sample(purpose, 20).patches for purpose in ("train", "train", "test"))
    assert torch.equal(train, again) and not torch.equal(train, test)


def test_repetitions_have_partitions_features_and_starts_of_their_own():
    one, other = task(0), task(1)
    assert not torch.equal(one.partition.sets, other.partition.sets)
    assert not torch.equal(one.distribution.feature, other.distribution.feature)
    starts = [each.run(each.sample("train", 3), 3, 0.1, 1.0).model for each in (one, other)]
    assert not torch.equal(starts[0].value_vector, starts[1].value_vector)
    assert not torch.equal(starts[0].attention_logits, starts[1].attention_logits)
