using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>How a <see cref="WindowLayout"/> lies: for registers of 512 bits and permutations of bytes, or for those of 256.</summary>
internal enum WindowForm
{
    /// <summary>Groups of 16 rows, windows of 128 columns (256 of integers) that stay in registers.</summary>
    Wide,

    /// <summary>
    /// Groups of 4 rows whose inputs are loaded one by one from a window of 256 columns in the first-level cache; of integers groups of 8 rows, whose inputs are found in 64 columns by four shuffles of 16 bytes.
    /// </summary>
    Narrow,
}

/// <summary>Which form a machine takes.</summary>
internal static class WindowForms
{
    /// <summary>
    /// The form of this processor, whatever instruction set is chosen: floating point adds up in the order of its windows. A processor without either takes the wide one, as the reference.
    /// </summary>
    public static WindowForm OfMachine => Avx2.IsSupported && !Avx512Vbmi.IsSupported ? WindowForm.Narrow : WindowForm.Wide;
}
