using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.SparseOps;

namespace Sparseland.Kernels.Tests.SparseOps;

public unsafe class PlaneLayoutTests
{
    private const int Height = 9, Pad = 2, Kernel = 5;

    [SkippableTheory]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(12)]
    [InlineData(16)]
    [InlineData(17)]
    [InlineData(24)]
    [InlineData(31)]
    [InlineData(40)]
    public void Rows_shifted_under_masks_are_the_definition_and_nothing_beside_the_image_comes_in(int width)
    {
        Skip.IfNot(Avx512F.IsSupported);
        const int Channels = 3, Before = 64;
        PlaneLayout layout = Layout(Channels, width);
        int plane = Height * width;
        // What lies around the image must not come in.
        var memory = new float[Before + (Channels * plane) + Before];
        Array.Fill(memory, float.NaN);
        for (int i = 0; i < Channels * plane; i++) memory[Before + i] = i + 1;
        fixed (float* image = &memory[Before])
        {
            for (int column = 0; column < Kernel; column++)
            {
                for (int first = 0; first < Height + (2 * Pad); first++)
                {
                    for (int rows = 1; first + rows <= Height + (2 * Pad); rows++)
                    {
                        int channel = (first + rows) % Channels;
                        float[] copy = Copy(layout, image, channel, column, first, rows, width, layout.ShiftMasks(column, rows * width));
                        for (int i = 0; i < rows * width; i++)
                        {
                            int y = first + (i / width) - Pad, x = column + (i % width) - Pad;
                            float expected = y >= 0 && y < Height && x >= 0 && x < width ? (channel * plane) + (y * width) + x + 1 : 0;
                            Assert.True(BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(copy[i]), $"column {column}, rows {first} to {first + rows}, float {i}: {copy[i]} for {expected}");
                        }
                        for (int i = (rows * width) + 15; i < copy.Length; i++) Assert.Equal(-7f, copy[i]);
                        // As without masks, which is what other machines do.
                        Assert.Equal(Copy(layout, image, channel, column, first, rows, width, null)[..(rows * width)], copy[..(rows * width)]);
                    }
                }
            }
        }
    }

    private static float[] Copy(PlaneLayout layout, float* image, int channel, int column, int first, int rows, int width, int[]? masks)
    {
        var copy = new float[(rows * width) + 32];
        Array.Fill(copy, -7f);
        fixed (float* to = copy)
        fixed (int* lanes = masks) layout.CopyShifted(channel, column, image, Height * width, first, rows, to, lanes);
        return copy;
    }

    private static PlaneLayout Layout(int channels, int width) =>
        new(channels, Height, width, Pad, Pad, 1, 1, [(0, 0)], Height + (2 * Pad), width + (2 * Pad), Kernel - 1);
}
