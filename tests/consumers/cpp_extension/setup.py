from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

import ndtorch

extension = CppExtension(
    "consumer",
    ["consumer.cpp"],
    include_dirs=[ndtorch.get_include()],
    extra_compile_args=["-fvisibility=hidden", "-DNDTORCH_TORCH_PYTHON"],
)
setup(name="consumer", ext_modules=[extension], cmdclass={"build_ext": BuildExtension})
