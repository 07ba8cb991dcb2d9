#include <ndtorch/ndtorch.h>

using view_function = at::Tensor (*)(pybind11::handle, ndtorch::on_read_only);
using export_function = pybind11::array (*)(const at::Tensor&);

view_function other_files_from_numpy() { return &ndtorch::from_numpy; }

export_function other_files_to_numpy() { return &ndtorch::to_numpy<float>; }
