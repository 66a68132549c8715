"""A classifier over the mean of an encoder's tokens, with what callers use of transformers' own."""

# torch and transformers leave many of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

from ogam.extras import needs

with needs("train"):
    import torch
    from torch import Tensor
    from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPooledClassifier(torch.nn.Module):
    """``encoder``, a base model of transformers whose ``config`` knows the labels, and a head."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        config = encoder.config
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # BERT's layer over the first token, which nothing reads here
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        # Whoever builds the network again from its configuration reads this. (ModernBERT's own head
        # has a setting named classifier_pooling.)
        config.head_pooling = "mean"

    @property
    def config(self) -> Any:
        """The encoder's."""
        return self.encoder.config

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.classifier.weight.device

    def set_attn_implementation(self, name: str) -> None:
        """As the encoder's own."""
        self.encoder.set_attn_implementation(name)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        output_hidden_states: bool = False,
        **types: Tensor,
    ) -> SequenceClassifierOutput:
        """``logits`` (batch, labels) of tokens (batch, tokens); hidden states where asked for."""
        found = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_hidden_states=output_hidden_states,
            **types,
        )
        states = found.last_hidden_state
        read = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * read).sum(1) / read.sum(1)
        logits = self.classifier(self.dropout(mean))
        return SequenceClassifierOutput(logits=logits, hidden_states=found.hidden_states)
