import numpy as np

from src.experiments.over_training import _lifetime

MARKS = np.array([1, 10, 100, 1000])


def test_association_lasts_until_the_first_mark_at_which_it_is_lost_again():
    association = np.array(
        [
            [0.3, 1.0, 0.9, 0.5],  # lost at 100
            [0.3, 0.96, 1.0, 0.96],  # never lost: followed to 1,000
            [0.3, 0.6, 0.9, 0.6],  # never there
            [1.0, 0.9, 1.0, 1.0],  # lost at 10, though it comes back
        ]
    )
    assert _lifetime(association, MARKS).tolist() == [100, 1000, 0, 10]
