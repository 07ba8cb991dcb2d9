// A program of two files that both include everything: it links, and has each function once.
#include <ndtorch/ndtorch.h>

using view_function = at::Tensor (*)(pybind11::handle, ndtorch::on_read_only);
using export_function = pybind11::array (*)(const at::Tensor&);

view_function other_files_from_numpy();
export_function other_files_to_numpy();

int main() {
  const bool same = other_files_from_numpy() == view_function{&ndtorch::from_numpy} &&
                    other_files_to_numpy() == export_function{&ndtorch::to_numpy<float>};
  return same ? 0 : 1;
}
