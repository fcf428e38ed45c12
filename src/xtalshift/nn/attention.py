"""A network on compositions: attention between elements.

As in CrabNet (Wang et al., npj Comput. Mater. 7, 77, 2021) and Roost (Goodall and Lee, Nature
Communications 11, 6280, 2020), a composition is a set of elements with their fractions.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.errors import ConfigError
from xtalshift.nn.initial import Affine
from xtalshift.nn.irnet import dropout_mask

N_ELEMENTS = len(SYMBOLS) - 1
FEED_FORWARD = 2
"""Width of the hidden layer between two attentions, relative to that of a token."""
ENTRY_FEATURES = 3
OWN_SHARE = 0.3
"""Factor of the learned vector of an element, which is added to its properties."""
SMALLEST = 1e-4
"""Fractions below this one look the same to the network."""
MOST_SLOTS = 2**16
"""Largest number of slots in one pass without gradient; limits the memory of prediction."""


def find_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns of each row that are not 0, ordered by the size of their entries.

    Parameters
    ----------
    x : Tensor, shape (n, columns)
        Fractions, or any other numbers.

    Returns
    -------
    columns : Tensor of int64, shape (n, k)
        k is the largest number of entries of a row, at least 1.
    values : Tensor, shape (n, k)
        Their entries; 0 in empty slots.
    """
    k = max(int((x != 0).sum(dim=-1).max()) if len(x) else 0, 1)
    columns = x.abs().topk(k, dim=-1).indices
    return columns, x.gather(-1, columns)


class AttentionNet(nn.Module):
    """Tokens of elements, pre-norm transformer blocks, a mean weighted by fraction, a small head.

    A token is an entry of the table that is not 0. It is the sum of a vector of its column (a
    learned one; with 118 columns also a linear map of elemental properties) and a learned function
    of the entry. The order of columns and the number of empty slots do not matter. The learned
    vectors of 118 columns start at 0 and count 0.3, so that an element without training rows is
    described by its properties alone.

    Any numbers are accepted: an entry has the weight ``|x| / sum |x|``, and the learned function
    sees its sign and size. A row without entries has a single token, another learned vector.

    Dropout is on if, and only if, `forward` is given a generator, as in `IRNet`.

    Parameters
    ----------
    n_columns : int
        Number of columns of the table.
    width : int
        Width of a token.
    n_blocks, n_heads : int
        Number of blocks, and of heads per attention.
    dropout : float
        Probability that a unit of the output of a layer is zeroed before it is added to a token.
    generator : torch.Generator
        Draws the initial parameters, on the CPU.

    Raises
    ------
    ConfigError
        If the number of heads does not divide the width.
    """

    members = None  # a single network, see `IRNet`
    bf16 = False
    properties: Tensor

    def __init__(
        self,
        n_columns: int,
        width: int,
        n_blocks: int,
        n_heads: int,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if min(width, n_blocks, n_heads) < 1 or width % n_heads:
            raise ConfigError(
                f"width = {width}, n_blocks = {n_blocks}, n_heads = {n_heads}; expected numbers of "
                "at least 1, and a width that n_heads divides"
            )
        self.dropout = dropout
        known = n_columns == N_ELEMENTS
        start = torch.zeros(n_columns, width)
        if not known:
            start.normal_(generator=generator)
        self.columns = nn.Parameter(start)
        self.properties_map = None
        if known:
            table = element_properties()
            self.register_buffer("properties", table, persistent=False)
            self.properties_map = Affine(table.shape[1], width, generator)
        self.entry_in = Affine(ENTRY_FEATURES, width, generator)
        self.entry_out = Affine(width, width, generator)
        self.empty = nn.Parameter(torch.empty(width).normal_(generator=generator))
        self.blocks = nn.ModuleList(_Block(width, n_heads, generator) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width)
        self.hidden = Affine(width, width, generator)
        self.head = Affine(width, 1, generator)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return predictions.

        Parameters
        ----------
        x : Tensor, shape (n, n_columns)
            Fractions, not standardised.
        generator : torch.Generator, optional
            Source of the dropout masks, on the device of `x`; without it there is no dropout.

        Returns
        -------
        Tensor, shape (n,)
        """
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self.head(self.embed(x, generator)).squeeze(-1).to(x.dtype)  # type: ignore[no-any-return]

    def embed(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the input of the head, shape (n, width).

        Parameters
        ----------
        x, generator
            As in `forward`.
        """
        columns, values = find_tokens(x)
        rows = max(MOST_SLOTS // values.shape[1], 1)
        if torch.is_grad_enabled() or len(x) <= rows:
            return self._embed(columns, values, generator)
        parts = zip(torch.split(columns, rows), torch.split(values, rows), strict=True)
        return torch.cat([self._embed(*part, generator) for part in parts])

    def _embed(self, columns: Tensor, values: Tensor, generator: torch.Generator | None) -> Tensor:
        empty = values[:, :1] == 0  # in such rows the first slot is the token
        first = torch.arange(values.shape[1], device=values.device) == 0
        alone = empty & first
        mask = (values != 0) | alone
        # all layers but attention act on single tokens, so empty slots cost nothing
        places = mask.flatten().nonzero().squeeze(-1)
        tokens = self._tokens(columns.flatten()[places], values.flatten()[places])
        tokens = torch.where(alone.flatten()[places].unsqueeze(-1), self.empty, tokens)
        for block in self.blocks:
            tokens = block(tokens, mask, places, self.dropout, generator)
        sizes = torch.where(alone, 1.0, values.abs())
        shares = sizes / sizes.sum(dim=-1, keepdim=True)
        parts = self.norm(tokens).to(values.dtype) * shares.flatten()[places].unsqueeze(-1)
        pooled = _unpack(parts, mask, places).sum(dim=1)
        return F.silu(self.hidden(pooled))

    def _tokens(self, columns: Tensor, values: Tensor) -> Tensor:
        """Return the tokens of t entries, shape (t, width)."""
        identity: Tensor = self.columns
        if self.properties_map is not None:
            identity = OWN_SHARE * identity + self.properties_map(self.properties)
        entries = self.entry_out(F.silu(self.entry_in(_describe(values))))
        return F.embedding(columns, identity) + entries  # type: ignore[no-any-return]


def element_properties() -> Tensor:
    """Return the elemental properties of `MAGPIE_PROPERTIES`, shape (118, 22).

    They are standardised over the elements; unknown ones are 0, the mean.
    """
    table = load_elements(impute_nan=True).magpie[1:]
    scaled = (table - table.mean(axis=0)) / table.std(axis=0)
    return torch.from_numpy(scaled.astype(np.float32))


def _describe(values: Tensor) -> Tensor:
    """Return each entry, its root and its logarithm, all with its sign, shape (..., 3)."""
    size, sign = values.abs(), values.sign()
    decades = 1.0 - size.clamp_min(SMALLEST).log10() / math.log10(SMALLEST)
    return torch.stack([values, sign * size.sqrt(), sign * decades], dim=-1)


class _Block(nn.Module):
    """``h <- h + Dropout(Attention(Norm(h)))``, then the same with a feed-forward network."""

    def __init__(self, width: int, n_heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(width)
        self.project = Affine(width, 3 * width, generator)
        self.join = Affine(width, width, generator)
        self.forward_norm = nn.LayerNorm(width)
        self.widen = Affine(width, FEED_FORWARD * width, generator)
        self.narrow = Affine(FEED_FORWARD * width, width, generator)

    def forward(
        self,
        h: Tensor,
        mask: Tensor,
        places: Tensor,
        dropout: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        n, k = mask.shape
        parts = _unpack(self.project(self.attention_norm(h)), mask, places)
        query, key, value = parts.view(n, k, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
        seen = seen.transpose(1, 2).reshape(n * k, -1)[places]
        h = h + _drop(self.join(seen), dropout, generator)
        added = self.narrow(F.silu(self.widen(self.forward_norm(h))))
        return h + _drop(added, dropout, generator)


def _unpack(tokens: Tensor, mask: Tensor, places: Tensor) -> Tensor:
    """Return t tokens in the slots `places` of n rows, 0 elsewhere, shape (n, k, width)."""
    slots = tokens.new_zeros(mask.numel(), tokens.shape[-1])
    return slots.index_copy(0, places, tokens).view(*mask.shape, -1)


def _drop(h: Tensor, dropout: float, generator: torch.Generator | None) -> Tensor:
    if generator is None or dropout == 0:
        return h
    return h * dropout_mask(h, dropout, generator)
