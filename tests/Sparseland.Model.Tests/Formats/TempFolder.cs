using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats;

/// <summary>A folder of its own for one test, removed afterwards.</summary>
public sealed class TempFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("sparseland-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public string Write(string name, ReadOnlySpan<byte> bytes)
    {
        System.IO.File.WriteAllBytes(File(name), bytes.ToArray());
        return File(name);
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>Tensors of every element type with telling values.</summary>
public static class SampleTensors
{
    public static TensorData[] All { get; } =
    [
        TensorData.Wrap(new[] { 1.5f, -0f, float.NaN, float.PositiveInfinity, float.Epsilon, 7f }, 2, 3),
        TensorData.Wrap(new[] { 1.5, -2.25 }, 2),
        TensorData.Wrap(new[] { (Half)1.5f, Half.MinValue }, 2, 1),
        TensorData.Wrap(new[] { (BFloat16)3.25f, (BFloat16)(-1f) }, 1, 2),
        TensorData.Wrap(new sbyte[] { -128, 127, 0 }, 3),
        TensorData.Wrap(new byte[] { 0, 255 }, 2),
        TensorData.Wrap(new short[] { short.MinValue, 5 }, 2),
        TensorData.Wrap(new ushort[] { ushort.MaxValue, 5 }, 2),
        TensorData.Wrap(new[] { int.MinValue, 5 }, 2),
        TensorData.Wrap(new[] { uint.MaxValue, 5u }, 2),
        TensorData.Wrap(new[] { long.MinValue, 5 }, 2),
        TensorData.Wrap(new[] { ulong.MaxValue, 5UL }, 2),
        TensorData.Wrap(new[] { true, false, true }, 3),
        TensorData.Scalar(42f),
        TensorData.Zeros(ElementType.Float32, 0, 3),
    ];

    public static void AssertSame(TensorData expected, TensorData actual)
    {
        Assert.Equal(expected.ElementType, actual.ElementType);
        Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
        if (expected.ElementType == ElementType.String) Assert.Equal(expected.Array<string>(), actual.Array<string>());
        else Assert.True(expected.Bytes().SequenceEqual(actual.Bytes()), $"{expected} differ");
    }
}
