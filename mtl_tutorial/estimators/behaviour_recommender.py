"""What a user will do next, which items to show, and who the user is."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mtl_tutorial.balancing.scalarizer import StaticWeights
from mtl_tutorial.data.table import Table
from mtl_tutorial.inference import predict
from mtl_tutorial.models.behaviour import BEHAVIOURS, BehaviourModel
from mtl_tutorial.randomness import draw_seed, weights_drawn_with
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit


class BehaviourRecommender(BaseEstimator):
    """Next behaviour (browse, cart, buy), top-k items and user profile on shared embeddings.

    Args:
        dim: of the embeddings.
        hidden: width of the behaviour head's hidden layer.
        behaviour_weight: λ of the behaviour loss.
        item_weight: λ of the recommendation loss, a softmax over all items on the rows with cart or buy.
        profile_weight: λ of the profile loss; 0 leaves the profile out.
        epochs: passes over the rows.
        batch_size: rows per step.
        lr: Adam's step size.
        weight_decay: of Adam.
        device: where to train and predict.
        random_state: seeds the weights and the order of the rows.

    Attributes:
        model_: the trained network.
        n_users_, n_items_: how many ids it knows.
        learned_: the heads that were trained, of behaviour, item and profile.
    """

    def __init__(self, dim: int = 16, hidden: int = 32, behaviour_weight: float = 1.0, item_weight: float = 1.0,
                 profile_weight: float = 1.0, epochs: int = 5, batch_size: int = 512, lr: float = 5e-3,
                 weight_decay: float = 1e-5, device: str = "cpu", random_state=None):
        self.dim = dim
        self.hidden = hidden
        self.behaviour_weight = behaviour_weight
        self.item_weight = item_weight
        self.profile_weight = profile_weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def fit(self, pairs, behaviour, profile=None):
        """Learn from what users did with items.

        Args:
            pairs: user and item id of each row, [N, 2] integers from 0.
            behaviour: 0 browse, 1 cart, 2 buy, [N].
            profile: class of each user, [users] integers, −1 where unknown; no profile is learned without it.

        Raises:
            ValueError: shapes, ids or behaviours out of range.
        """
        pairs, behaviour = self._pairs(pairs), np.asarray(behaviour)
        if behaviour.shape != (len(pairs),):
            raise ValueError(f"behaviour has shape {behaviour.shape}, pairs say {len(pairs)} rows")
        if not np.isin(behaviour, range(len(BEHAVIOURS))).all():
            raise ValueError(f"behaviour must be 0, 1 or 2 ({', '.join(BEHAVIOURS)}), "
                             f"found {np.setdiff1d(behaviour, range(len(BEHAVIOURS)))[:3]}")
        self.n_users_, self.n_items_ = (int(top) + 1 for top in pairs.max(0))
        if profile is None:
            profile = np.full(self.n_users_, -1)
        profile = np.asarray(profile)
        if profile.ndim != 1 or len(profile) < self.n_users_:
            raise ValueError(f"profile has shape {profile.shape}, pairs name {self.n_users_} users")
        if not np.issubdtype(profile.dtype, np.integer) or profile.min() < -1:
            raise ValueError("profile must hold integers, classes from 0, or −1 where unknown")
        self.n_users_ = len(profile)
        self.n_profiles_ = max(int(profile.max()) + 1, 1)
        self._tasks = [Task("behaviour", "multiclass", len(BEHAVIOURS)), Task("item", "multiclass", self.n_items_),
                       Task("profile", "multiclass", self.n_profiles_)]
        of_row = torch.as_tensor(profile[pairs[:, 0]], dtype=torch.long)                # [N]
        acted = torch.as_tensor(behaviour, dtype=torch.long)                            # [N]
        table = self._table(pairs, {"behaviour": acted, "item": torch.as_tensor(pairs[:, 1]),
                                    "profile": of_row.clamp(min=0)}, {"item": acted > 0, "profile": of_row >= 0})
        seed = draw_seed(self.random_state)
        with weights_drawn_with(seed):
            model = BehaviourModel(self.n_users_, self.n_items_, self.n_profiles_, self.dim, self.hidden)
        # A head without weight is no task: its loss of zero would still let weight decay move it.
        weights = (self.behaviour_weight, self.item_weight, self.profile_weight)
        learned = [(task, weight) for task, weight in zip(self._tasks, weights, strict=True)
                   if weight and table.mask(task.name).any()]
        tasks, weights = zip(*learned, strict=True)
        fit(model, table, tasks, StaticWeights(weights), epochs=self.epochs, batch_size=self.batch_size, lr=self.lr,
            weight_decay=self.weight_decay, seed=seed, device=self.device, description="recommender")
        self.learned_ = [task.name for task in tasks]
        self.model_ = model
        return self

    @staticmethod
    def _pairs(pairs) -> np.ndarray:
        pairs = np.asarray(pairs)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
            raise ValueError(f"pairs must be [N, 2] integers (user, item), not {pairs.shape} {pairs.dtype}")
        if len(pairs) == 0 or pairs.min() < 0:
            raise ValueError("pairs must hold at least one row, and no id below 0")
        return pairs.astype(np.int64)

    def _table(self, pairs: np.ndarray, targets=None, masks=None) -> Table:
        return Table(torch.as_tensor(pairs), (self.n_users_, self.n_items_), torch.zeros(len(pairs), 0),
                     targets=targets or {}, masks=masks or {}, field_names=("user", "item")).validate()

    def _users(self, users) -> torch.Tensor:
        check_is_fitted(self, "model_")
        users = np.asarray(users)
        if (users.ndim != 1 or not np.issubdtype(users.dtype, np.integer)
                or ((users < 0) | (users >= self.n_users_)).any()):
            raise ValueError(f"users must be integer ids 0 … {self.n_users_ - 1}, one per row")
        return torch.as_tensor(users.astype(np.int64), device=next(self.model_.parameters()).device)

    def predict_proba(self, pairs) -> np.ndarray:
        """Return the probabilities of browse, cart and buy, [N, 3]."""
        check_is_fitted(self, "model_")
        return predict(self.model_, self._table(self._pairs(pairs)), self._tasks[:1])["behaviour"].numpy()

    def predict(self, pairs) -> np.ndarray:
        """Return the likeliest behaviour, [N]."""
        return self.predict_proba(pairs).argmax(1)

    def score(self, pairs, behaviour) -> float:
        """Return the accuracy of the behaviour."""
        return float((self.predict(pairs) == np.asarray(behaviour)).mean())

    @torch.inference_mode()
    def item_scores(self, users) -> np.ndarray:
        """Return the recommendation scores of all items, [len(users), items]."""
        users = self._users(users)
        return self.model_.scores(self.model_.user(users)).cpu().numpy()

    def recommend(self, users, k: int = 10) -> np.ndarray:
        """Return each user's k best items, best first, [len(users), k].

        Raises:
            ValueError: k above the number of items.
        """
        check_is_fitted(self, "model_")
        if not 1 <= k <= self.n_items_:
            raise ValueError(f"k={k} is outside 1 … {self.n_items_}, the number of items")
        return (-self.item_scores(users)).argsort(axis=1, kind="stable")[:, :k]

    @torch.inference_mode()
    def predict_profile(self, users) -> np.ndarray:
        """Return each user's likeliest profile class, [len(users)].

        Raises:
            ValueError: no profile was learned.
        """
        users = self._users(users)
        if "profile" not in self.learned_:
            raise ValueError("no profile was learned: fit was given none, or profile_weight is 0")
        return self.model_.profile(self.model_.user(users)).argmax(-1).cpu().numpy()
