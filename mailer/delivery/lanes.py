"""Which lane a recipient's domain belongs to: the mailbox provider that paces us."""

from subscribers.provider import OTHER, PROVIDERS, provider_of

__all__ = ["LANES", "OTHER", "lane_of"]

LANES = PROVIDERS
"""Lane -> domains; a provider watches a sender across all of its domains, so they share one."""

lane_of = provider_of
"""The lane of a domain in A-labels; capitals make no difference."""
