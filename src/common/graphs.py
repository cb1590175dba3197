"""Recording a function as a CUDA graph: what it launches, later launched at once."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # plain calls before the recording: libraries, optimizer and caches set themselves up in them


class Recorded:
    """A function of named tensors, recorded after a few plain calls and replayed from then on.

    The shapes must stay those of the recording. A replay returns the same tensor each time, with new values.

    Parameters
    ----------
    function : of named tensors to one tensor; nothing in it may wait for the device.
    recorder : runs a call, and records one without running it; see `CudaGraphs`.
    """

    def __init__(self, function: Callable[..., Tensor], recorder: Any):
        self.function, self.recorder = function, recorder
        self.calls, self.replay = 0, None

    def __call__(self, **tensors: Tensor) -> Tensor:
        if self.calls < WARM_UP:
            self.calls += 1
            return self.recorder.run(lambda: self.function(**tensors))
        if self.replay is None:
            self.inputs = {name: tensor.clone() for name, tensor in tensors.items()}
            self.replay = self.recorder.record(lambda: self.function(**self.inputs))
        for name, tensor in tensors.items():
            self.inputs[name].copy_(tensor)
        return self.replay()


class CudaGraphs:
    """Runs functions on a stream beside the current one, and records them there as CUDA graphs."""

    def __init__(self):
        self.stream = torch.cuda.Stream()

    def run(self, function: Callable[[], Tensor]) -> Tensor:
        """Call `function`; what the current stream does before and after keeps its place."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream), warnings.catch_warnings():
            # it runs without a recording, as it should
            warnings.filterwarnings("ignore", ".*capturable=True")
            result = function()
        current.wait_stream(self.stream)
        return result

    def record(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Record `function`, which is not run; each call of what is returned replays it, with one launch."""
        graph = torch.cuda.CUDAGraph()
        try:
            # "thread_local": a thread that pins the next batch's memory must not break the recording.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                result = function()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RuntimeError(
                f"a step cannot be recorded as a CUDA graph ({reason}); "
                "compile=False in training and path='plain' in a descent run it plainly"
            ) from error

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay
