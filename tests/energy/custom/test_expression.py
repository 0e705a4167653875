"""The expression language against OpenMM's own parser, one particle in a `CustomExternalForce` at a time."""

import openmm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from boltzgen.energy.custom.expression import DEEPEST, Expression
from boltzgen.energy.custom.operations import FUNCTIONS
from boltzgen.energy.custom.parser import ExpressionError
from tests.helpers.custom_forces import assert_equals_openmm, definitions

#: Values of x, y, z: around every kink of the functions below, and at them.
POINTS = torch.tensor(
    [[x, y, z] for x in (-1.7, -1.0, -0.6, 0.0, 0.3, 1.0, 2.5) for y, z in ((0.7, 1.3), (1.0, -0.4))],
    dtype=torch.float64,
)[:, None]


def external(text: str, **constants: float) -> openmm.CustomExternalForce:
    force = openmm.CustomExternalForce(text)
    for name, value in constants.items():
        force.addGlobalParameter(name, value)
    force.addParticle(0, [])
    return force


def at(text: str, x: list[float], **others: float) -> tuple[Tensor, Tensor]:
    """Value and derivative with respect to x."""
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    values = {"x": leaf} | {name: torch.tensor(value, dtype=torch.float64) for name, value in others.items()}
    value = torch.as_tensor(Expression(text, values)(values)).expand(len(x))
    return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


#: One expression for each function of the language.
CALLS = {
    "sqrt": "sqrt(x+3)",
    "exp": "exp(0.5*x)",
    "log": "log(x+2)",
    "sin": "sin(x*y)",
    "cos": "cos(x-z)",
    "sec": "sec(0.3*x)",
    "csc": "csc(x+3)",
    "tan": "tan(0.4*x)",
    "cot": "cot(0.5*x+1.6)",
    "asin": "asin(x/3)",
    "acos": "acos(x/3)",
    "atan": "atan(x)",
    "atan2": "atan2(x+0.1,y)+atan2(y,x)+atan2(0.5,x-z)+atan2(x,2)",
    "sinh": "sinh(x)",
    "cosh": "cosh(x)",
    "tanh": "tanh(x)",
    "erf": "erf(x)",
    "erfc": "erfc(x)",
    "step": "x*step(x)+step(1-x)*y",
    "delta": "x*delta(x)+y*delta(x-1)",
    "square": "square(x)",
    "cube": "cube(x)",
    "recip": "recip(x+3)",
    "min": "min(x,1)+2*min(1,x)+min(x,y)",
    "max": "max(x,1)+2*max(1,x)+max(x,y)",
    "abs": "abs(x)+abs(x-1)",
    "floor": "x*floor(x)",
    "ceil": "x*ceil(x)",
    "select": "select(x,y*x,z)+select(step(x-1),x,y)",
}


def test_every_function_is_called() -> None:
    assert CALLS.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS.keys())
def test_functions(text: str) -> None:
    # With a derivative of its own, a function that loses its gradient at a kink is seen.
    assert_equals_openmm(
        external(text),
        POINTS,
        least=0.5 if "floor" in text or "ceil" in text or "step" in text or "delta" in text else 0.7,
    )


@pytest.mark.parametrize("name", ["min", "max", "abs"])
def test_derivatives_at_kinks_are_openmms(name: str) -> None:
    """Exactly at the kink, where no finite difference would do."""
    texts = {
        "min": ("min(x,1)", "min(1,x)"),
        "max": ("max(x,1)", "max(1,x)"),
        "abs": ("abs(x-1)", "abs(1-x)"),
    }[name]
    for text in texts:
        context = openmm.Context(
            one_particle(text), openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
        )
        context.setPositions([[1.0, 0.0, 0.0]])
        assert at(text, [1.0])[1].item() == -context.getState(getForces=True).getForces()[0][0]._value


def one_particle(text: str) -> openmm.System:
    system = openmm.System()
    system.addParticle(1.0)
    system.addForce(external(text))
    return system


@pytest.mark.parametrize(
    "text",
    [
        "x+y-z*x/y",
        "x-y-z+x/y/z",
        "-x^2",
        "(-x)^3+(-x)^4+x^-3+(x+3)^-2",
        "2^-x",
        "2^-x^2",
        "-2^-x",
        "2^-y*x",
        "1.5^x^2+(1.5^x)^2",
        "(x+4)^y^z",
        "2*-x*--y- -z",
        "--x",
        "x/-y",
        "x^1.0+x^0+x^12+x^-7",
        "x^70*1e-20+(x+3)^100*1e-60",
        "(x+2)^0.5+(x+3)^1.5+(x+3)^-0.5",
        "0^x+0*log(x)+0/x+x*0",
        "1e-3*x+2.*x+.5*x+5E+1*x+1e2*x+1.25e-1*x^2+3",
        "  x  *\n y\t+ z ",
        "((x))*(y+(z-(x)))",
        "a+b; a=b+1; b=x*y",
        "a*b; a=b+1; b=a^2; a=x+z",
        "x^2; x=x+1",
        "a; a=x; a=y",
        "a;a=x;;",
        " a ; \n a = x*y ; b = z ;",
        "a.b'; a.b' = x*y",
        "lambda*or+x*in; in=is^2; is=x",
        "k0*x^2/2",
        "min(max(x,y),max(z,x*y))-max(min(x,2),-1)",
        "select(step(x), select(step(x-1), x, x^2), select(y-1, z, -x))",
        "sqrt(x^2)+sqrt((x-1)^2)+((x+1)^2)^0.5",
    ],
)
def test_grammar(text: str) -> None:
    assert_equals_openmm(external(text, k0=3.0, **{"lambda": 0.3, "or": 1.7}), POINTS, least=0.4)


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("select(step(x),sqrt(x),3*x)", [-1.0, 0.5]),
        ("select(step(x),3*x,log(-x))", [-1.0, 0.0, 0.5]),
        ("select(step(x-1),x,a*x);a=1/(x-2)^2", [0.5, 2.0]),
        ("select(x,1/x,5)+a;a=x^2", [0.0, 0.5]),
        ("a*select(step(x),b*log(x),7);b=x*a;a=x-1", [-1.0, 0.5, 1.0, 2.0]),
        (
            "select(step(x),select(step(1-x),sqrt(x*(1-x)),x),select(step(-1-x),x^2,acos(x)))",
            [-2.0, -0.5, 0.5, 3.0],
        ),
        ("min(4,1/x^12)", [0.0, 0.5, 3.0]),
        ("max(x,log(x))", [0.0, 0.5]),
        ("max(-2,log(x))+x", [0.0, 0.01, 0.5]),
        ("min(4,a)+select(step(x-1),a,0);a=1/x^2", [0.0, 0.5, 3.0]),
        ("select(step(x-1),exp(1000*x)*0.5,x)", [0.9]),
        ("step(x)*x^2", [-1.0, 0.0, 1.0]),
        ("select(x-y,recip(x-y),z)", [0.7, 1.0]),
    ],
)
def test_branches_not_taken_do_not_leak(text: str, points: list[float]) -> None:
    """Every branch here is infinite, NaN or of infinite derivative where it is not taken."""
    x = torch.tensor([[[p, 0.7, 1.3]] for p in points], dtype=torch.float64)
    value, derivative = at(text, points, y=0.7, z=1.3)
    assert torch.isfinite(value).all() and torch.isfinite(derivative).all()
    system = one_particle(text)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    for k, position in enumerate(x):
        context.setPositions(position.numpy())
        state = context.getState(getEnergy=True, getForces=True)
        assert value[k].item() == pytest.approx(state.getPotentialEnergy()._value, rel=1e-12)
        assert derivative[k].item() == pytest.approx(-state.getForces()[0][0]._value, rel=1e-12)


def test_powers_are_exact_products() -> None:
    assert at("x^3+x^2", [-3.0])[0].item() == -18.0
    assert at("x^-2", [-0.5])[0].item() == 4.0
    assert at("x^n", [-3.0], n=3.0)[0].item() == pytest.approx(-27.0, rel=1e-15)


def test_equal_parts_are_computed_once() -> None:
    calls = []

    def counted(x: Tensor) -> Tensor:
        calls.append(x)
        return x.exp()

    expression = Expression("a+a^2+f(r)+select(step(r),a,-a); a=f(r)*r", ["r"], functions={"f": (1, counted)})
    for requires_grad in (False, True):
        calls.clear()
        expression({"r": torch.ones(3, requires_grad=requires_grad)})
        assert len(calls) == 1


def test_functions_of_the_user_come_first() -> None:
    """As in OpenMM, where a tabulated function may take the name of a built-in one."""
    double = {
        "min": (1, lambda a: 2 * a),
        "square": (1, lambda a: 3 * a),
        "select": (2, lambda a, b: a - b),
        "exp": (1, lambda a: -a),
    }
    value = Expression("min(x)+square(x)+10*select(x,y)+exp(x)", ["x", "y"], functions=double)(
        {"x": torch.tensor(1.0), "y": torch.tensor(3.0)}
    )
    assert value == 2 + 3 - 20 - 1


def test_dtype_follows_the_variables() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.linspace(0.1, 1.0, 5, dtype=dtype)
        for text in (
            "x*2.5+1e-3/x",
            "select(step(x-0.5),1,0)",
            "min(x,0.3)+atan2(x,2)+2^x",
            "max(0.4,x)*step(x)",
        ):
            result = Expression(text, ["x"])({"x": x})
            assert isinstance(result, Tensor) and result.dtype == dtype, text


def test_constants_are_folded() -> None:
    expression = Expression("a*x; a=1/d-1/e; d=2; e=sqrt(k)*min(2,3)", ["x"], {"k": 4.0})
    assert sorted(node.op for node in expression.nodes()) == ["*", "number", "variable"]
    assert expression({"x": torch.tensor(8.0, dtype=torch.float64)}) == 2.0
    assert Expression("1/0", [])({}) == float("inf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x+w", "unknown name 'w'"),
        ("x*foo(x)", "unknown function 'foo'"),
        ("pi*x", "unknown name 'pi'"),
        ("a; b=x; a=b+1", "unknown name 'b'"),
        ("+x", r"unexpected '\+'"),
        ("x y", "unexpected 'y'"),
        ("1e-3x", "unexpected 'x'"),
        ("x+", "unexpected end"),
        ("", "unexpected end"),
        ("(x", "unbalanced"),
        ("x)", r"unexpected '\)'"),
        ("(x,y)", "unbalanced"),
        ("sin (x)", "unknown name 'sin'"),
        ("sin()", r"unexpected '\)'"),
        ("min(x)", "min takes 2 arguments, got 1"),
        ("x; y", "expected 'name = expression'"),
        ("x; =y", "expected 'name = expression'"),
        ("x**2", r"unexpected '\*'"),
        ("x%2", "unknown name 'x%2'"),
        ("__import__(x)", "unknown function '__import__'"),
    ],
)
def test_errors_say_what_is_wrong_where_openmm_fails_too(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        Expression(text, ["x", "y", "z"])
    with pytest.raises(openmm.OpenMMException):
        openmm.Context(
            one_particle(text), openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
        )


RANDOM_POINTS = 0.2 + 1.6 * torch.rand(
    10, 1, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64
)


@settings(max_examples=150)
@given(definitions(["x", "y", "z"]), st.sampled_from([1.0, -1.0]))
def test_random_expressions(text: str, sign: float) -> None:
    assert_equals_openmm(external(text), sign * RANDOM_POINTS, least=0.0)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "r" + ")" * 5000,
        "-" * 5000 + "r",
        "r^" * 5000 + "r",
        "+".join(["r"] * 400),
        "sin(" * 200 + "r" + ")" * 200,
        "; ".join(["a0", *(f"a{k}=sin(a{k + 1})" for k in range(200)), "a200=r"]),
        "select(r, " * 200 + "r" + ", 0)" * 200,
    ],
)
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    """Not met as a RecursionError when it is computed."""
    with pytest.raises(ExpressionError, match="inside each other"):
        Expression(text, ["r"])


def test_as_deep_as_may_be_is_computed() -> None:
    """Also with shared parts: sixty squarings of squares take sixty products."""
    r = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    squares = "; ".join(["a0", *(f"a{k}=a{k + 1}*a{k + 1}" for k in range(60)), "a60=r"])
    assert torch.equal(as_tensor(Expression(squares, ["r"])({"r": r})), torch.ones(2, dtype=torch.float64))
    chain = Expression("+".join(["r"] * (DEEPEST - 1)), ["r"])
    value = as_tensor(chain({"r": r}))
    assert torch.equal(value, (DEEPEST - 1) * r)
    wild = "select(r, sqrt(" * ((DEEPEST - 2) // 2) + "r*r" + "), 0)" * ((DEEPEST - 2) // 2)
    assert as_tensor(Expression(wild, ["r"])({"r": r})).isfinite().all()


def as_tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value
