"""Prices and availability of candidates: from the catalogue, or from the clouds as they are now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cli.errors import CliError
from cli.preview.prices import dated
from cli.preview.quotes import SPOT, Key, Quote
from cli.pulumi_cli import Pulumi
from gpu_clouds.models import Candidate, CapacityType, Offer


def catalogue_quotes(keys: Iterable[Key]) -> dict[Key, Quote]:
    """List prices of candidates, and of the same machines rented the other way; asks nobody."""
    from gpu_clouds import catalog
    from gpu_clouds.errors import GpuCloudError

    quotes = {}
    for key in _with_twins(keys):
        try:
            offer = catalog.list_price(_candidate(key))
        except (GpuCloudError, ValueError):
            continue  # a name that the catalogue does not know has no price in it
        if offer is not None:
            quotes[key] = Quote(offer.hourly_usd, "", dated(offer.source, offer.as_of.date().isoformat()))
    return quotes


def live_quotes(pulumi: Pulumi, keys: Sequence[Key]) -> tuple[dict[Key, Quote], list[str]]:
    """What the clouds say now; the catalogue where they say nothing.

    Args:
        pulumi: The stack, whose credentials are used.
        keys: Candidates; the same machines rented the other way are asked for too,
            where their cloud does that.

    Returns:
        The answers, and a line for each credential set that could not be asked.
    """
    from cli.offers_table import find_offers
    from cli.session import open_session
    from gpu_clouds.errors import GpuCloudError
    from gpu_clouds.registry import cloud_info
    from stack_config.errors import StackConfigError

    quotes = catalogue_quotes(keys)
    try:
        session = open_session(pulumi)
        asked = []
        for key in _with_twins(keys):
            source = session.config.credentials.get(key.credentials)
            if source is None:
                continue
            if (
                key in keys
                or key.capacity != SPOT
                or cloud_info(key.cloud).with_features(source.features).spot
            ):
                asked.append(_candidate(key))
        offers, problems = find_offers(session, asked)
    except (CliError, StackConfigError, GpuCloudError, ValueError) as error:
        return quotes, [f"what is to be had now is not known: {_first_line(error)}"]
    for offer in offers:
        quotes[_key(offer)] = _quote(offer)
    answered = {offer.candidate.credentials for offer in offers}
    for key in keys:
        # A cloud that answered and left a candidate out has none of it.
        if key.credentials in answered and not (key in quotes and quotes[key].availability):
            old = quotes.get(key, Quote(None))
            quotes[key] = Quote(old.hourly_usd, "not offered", old.source)
    return quotes, [f"{name} could not be asked: {problem}" for name, problem in problems.items()]


def _with_twins(keys: Iterable[Key]) -> list[Key]:
    return list(dict.fromkeys(each for key in keys for each in (key, key.twin)))


def _candidate(key: Key) -> Candidate:
    return Candidate(
        key.cloud, key.credentials, key.region, key.gpu, key.gpu_count, CapacityType(key.capacity)
    )


def _key(offer: Offer) -> Key:
    of = offer.candidate
    return Key(of.cloud, of.credentials, of.region, of.gpu, of.gpu_count, str(of.capacity))


def _quote(offer: Offer) -> Quote:
    return Quote(
        offer.hourly_usd, str(offer.availability), dated(offer.source, offer.as_of.date().isoformat())
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
