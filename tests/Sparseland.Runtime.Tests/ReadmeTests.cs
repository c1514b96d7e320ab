using System.Globalization;
using Sparseland.Kernels.Simd;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Tests;

/// <summary>The front page's break-even points are the built-in ones.</summary>
public class ReadmeTests
{
    [Fact]
    public void The_front_page_states_the_built_in_points()
    {
        BreakEvenTable code = BuiltInPoints.For(SimdLevel.Vector512, compiled: true, windows: true), whole = BuiltInPoints.For(SimdLevel.Vector512, compiled: true, windows: true, wholeUnits: true), loops = BuiltInPoints.For(SimdLevel.Vector256, compiled: false, windows: false), counted = BuiltInPoints.For(SimdLevel.Vector256, compiled: true, windows: false), narrow = BuiltInPoints.For(SimdLevel.Vector256, compiled: true, windows: true);
        string[] sentences =
        [
            $"{At(code, KernelKind.Convolution, 16)} for convolutions from 16 pixels on and {At(code, KernelKind.Convolution, 1)} for single pixels, {At(code, KernelKind.Pointwise, 16)} for 1x1 ones "
                + $"and {At(code, KernelKind.Depthwise, 196)} for depthwise ones; {At(code, KernelKind.Csr, 24)} for products with 24 rows and more, {At(code, KernelKind.Csr, 2)} with 2.",
            $"{At(whole, KernelKind.Convolution, 784)} for convolutions of 28 x 28, {At(whole, KernelKind.Pointwise, 16)} for 1x1 ones; {At(whole, KernelKind.Csr, 64)} for products with 64 rows and more, {At(whole, KernelKind.Csr, 2)} with 2.",
            $"{At(counted, KernelKind.Convolution, 784)} for convolutions of 28 x 28, {At(counted, KernelKind.Pointwise, 784)} for 1x1 ones; {At(counted, KernelKind.Csr, 32)} for products with 32 rows and more, {At(counted, KernelKind.Csr, 2)} with 2. In loops elsewhere: ",
            $"{At(loops, KernelKind.Convolution, 784)} for convolutions of 28 x 28, {At(loops, KernelKind.Pointwise, 784)} for 1x1 ones; {At(loops, KernelKind.Csr, 32)} for products with 32 rows and more, {At(loops, KernelKind.Csr, 2)} with 2.",
            $"{Range(code, KernelKind.CsrVector)} in windows and {Range(code, KernelKind.BitmaskVector)} as a bit-mask with AVX-512 VBMI, {Range(narrow, KernelKind.CsrVector)} in windows with AVX2, {Range(loops, KernelKind.CsrVector)} and {Range(loops, KernelKind.BitmaskVector)} without either.",
        ];
        string page = File.ReadAllText(Path.Combine(Root(), "README.md"));
        Assert.All(sentences, s => Assert.Contains(s, page, StringComparison.Ordinal));
    }

    private static string At(BreakEvenTable table, KernelKind kernel, long size) => table.For(kernel, new KernelWork(size)).ToString(CultureInfo.InvariantCulture);

    private static string Range(BreakEvenTable table, KernelKind kernel) => $"{At(table, kernel, 0)} to {At(table, kernel, 1L << 30)}";

    private static string Root()
    {
        DirectoryInfo folder = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Sparseland.slnx"))) folder = folder.Parent!;
        return folder.FullName;
    }
}
