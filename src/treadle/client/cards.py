"""What the client asks of models' cards."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from treadle.client.calls import Calls
from treadle.registry import CardFormat, CardText, CardTexts, NewCardText


class CardCalls(Calls):
    """Calls of the routes of cards."""

    def model_card(self, ref: str, wanted: CardFormat = "html") -> bytes:
        """A version's card, as one document."""
        query = urlencode({"ref": ref, "format": wanted})
        return self._send("GET", f"/v1/model/card?{query}").read()

    def card_texts(self, model: str, *, history: bool = False) -> list[CardText]:
        """The written parts of a model's card, or every revision of them."""
        more = {"history": 1} if history else {}
        path = "/v1/model/card/texts"
        found: list[CardText] = self._ask(list[CardText], "GET", path, model=model, **more)
        return found

    def write_card(self, model: str, parts: Sequence[NewCardText]) -> list[CardText]:
        """Writes parts of a model's card, all of them or none; the parts as they stand then."""
        from treadle.client.client import actor

        new = CardTexts(model=model, parts=tuple(parts), actor=actor())
        found: list[CardText] = self._ask(list[CardText], "POST", "/v1/model/card/texts", new)
        return found
