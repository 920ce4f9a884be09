"""Stands for onnxsim.onnx_simplifier: a function under two decorators, of which
one adds a parameter to those that are shown."""
import functools
import inspect
import warnings


class Base:
    def check(self, model):
        return model


if True:
    class Checker(Base):
        def check(self, model):
            return super().check(model)


def checked(function):
    checker = Checker()

    @functools.wraps(function)
    def wrapper(model, check_n=0, rounds=1, *, check_hazards=False, **kwargs):
        warnings.warn("one frame up", stacklevel=2)
        return checker.check(function(model, check_n, rounds, **kwargs)), check_hazards

    shown = inspect.signature(function)
    extra = inspect.Parameter("check_hazards", inspect.Parameter.KEYWORD_ONLY, default=False)
    wrapper.__signature__ = shown.replace(parameters=list(shown.parameters.values()) + [extra])
    return wrapper


def plainly(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@checked
@plainly
def simplify(model, check_n: int = 0, rounds=1, *, output_path=None):
    """The docstring."""
    if check_n < 0:
        raise ValueError("a negative number")
    return model, check_n, rounds, output_path
