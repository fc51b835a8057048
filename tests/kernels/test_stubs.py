"""The stubs of the native modules list the functions and the parameters that the modules have."""

import ast
import re
from pathlib import Path

import pytest

import layerbits.kernels
from layerbits.kernels import back_ends, backends

FOLDER = Path(layerbits.kernels.__file__).parent
CPU, CUDA = backends()


def stub_parameters(name):
    """Return the names of the parameters of every function of a stub."""
    functions = ast.parse((FOLDER / f"{name}.pyi").read_text()).body
    return {
        function.name: [parameter.arg for parameter in (*function.args.args, *function.args.kwonlyargs)]
        for function in functions
        if isinstance(function, ast.FunctionDef)
    }


def native_parameters(module):
    """Return the names of the parameters of every function of a module, from the signatures that pybind11 writes."""
    return {
        name: re.findall(r"(\w+): ", function.__doc__.splitlines()[0])
        for name, function in vars(module).items()
        if callable(function)
    }


def test_stub_of_the_cpu_agrees_with_the_module():
    assert native_parameters(back_ends.cpu()) == stub_parameters("_cpu")


@pytest.mark.skipif(not CUDA.built, reason=CUDA.reason)
def test_stub_of_cuda_agrees_with_the_module():
    assert native_parameters(back_ends.cuda()) == stub_parameters("_cuda")
