"""Work of any kind, shared among the workers of a Dask cluster."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

#: How often a task that failed is tried again.
_RETRIES = 3


def shared(client: "Client") -> Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]:
    """A function that has workers apply a function to some arguments, and returns the results in order.

    Where a worker dies, others do its work. Where this is interrupted, what is not done is cancelled.
    """

    def share(work: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        futures = [client.submit(work, one, retries=_RETRIES, pure=False) for one in arguments]
        try:
            return list(client.gather(futures))
        except BaseException:
            client.cancel(futures, force=True)
            raise

    return share
