#!/bin/sh
# What Doxygen reads of a header, which has plain `//` above its declarations. A header is a group.
group=$(basename "$1" .h)
# shellcheck disable=SC2016  # sed's `$|`, the end of a line
sed -E '
/^namespace ndtorch \{/s|$|\n/// \\addtogroup '"$group"'\n/// @{|
/^}  \/\/ namespace ndtorch$/s|^|/// @}\n|
s/\[\[gnu::visibility\("hidden"\)\]\] //
# Doxygen takes the comment above it for its own, and not for the function that follows.
/^  using at::Tensor::/d
# What stands before #pragma once is about the file.
/^#pragma once/,$ {
  # "//   value_error  a view is impossible", and the lines that go on with its text: a list.
  s|^( *)//   ([^ ]+( [^ ]+)*)  +(.*)$|\1/// - `\2`: \4|
  s|^( *)//        +(.*)$|\1///   \2|
  s|^( *)//( .*)?$|\1///\2|
  # Not bold.
  /\/\/\//s/(^|[^`_a-z])(__[a-z_]+__)/\1`\2`/g
}' "$1"
