using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Sparseland.Cli.Tests.Verbs;

/// <summary>Files that are damaged or mean harm, written byte by byte.</summary>
internal static class HostileFiles
{
    /// <summary>A checkpoint whose pickle asks for os.system.</summary>
    public static void Pickle(string path, string command)
    {
        byte[] pickle = [0x80, 2, .. Encoding.ASCII.GetBytes($"cos\nsystem\n(S'{command}'\ntR.")];
        using ZipArchive zip = ZipFile.Open(path, ZipArchiveMode.Create);
        using Stream entry = zip.CreateEntry("archive/data.pkl", CompressionLevel.NoCompression).Open();
        entry.Write(pickle);
    }

    /// <summary>A safetensors file that claims a header of 2^60 bytes.</summary>
    public static void Safetensors(string path)
    {
        var bytes = new byte[10];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, 1UL << 60);
        bytes[8] = (byte)'{';
        bytes[9] = (byte)'}';
        File.WriteAllBytes(path, bytes);
    }

    /// <summary>An archive whose one array unpacks to far more than its shape says.</summary>
    public static void Bomb(string path)
    {
        using ZipArchive zip = ZipFile.Open(path, ZipArchiveMode.Create);
        using Stream entry = zip.CreateEntry("w.npy", CompressionLevel.Fastest).Open();
        string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }".PadRight(117) + "\n";
        entry.Write([0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, 0, .. Encoding.ASCII.GetBytes(header)]);
        byte[] zeros = new byte[1 << 20];
        for (int i = 0; i < 64; i++) entry.Write(zeros);
    }

    /// <summary>An ONNX model of the given nodes (operator, name, input, output) over the input x, with one weight w.</summary>
    public static void Onnx(string path, (string Op, string Name, string[] Inputs, string Output)[] nodes, long[]? dims = null, int type = 1, int bytes = 16)
    {
        dims ??= [4];
        byte[] weight = [.. dims.SelectMany(d => Number(1, d)), .. Number(2, type), .. Text(8, "w"), .. Field(9, new byte[bytes])];
        byte[] tensor = [.. Number(1, 1), .. Field(2, Field(1, Number(1, 4)))];
        byte[] graph =
        [
            .. nodes.SelectMany(n => Field(1, [.. n.Inputs.SelectMany(i => Text(1, i)), .. Text(2, n.Output), .. Text(3, n.Name), .. Text(4, n.Op)])),
            .. Text(2, "g"), .. Field(5, weight),
            .. Field(11, [.. Text(1, "x"), .. Field(2, Field(1, tensor))]),
            .. Field(12, [.. Text(1, nodes[^1].Output), .. Field(2, Field(1, tensor))]),
        ];
        File.WriteAllBytes(path, [.. Number(1, 8), .. Field(7, graph), .. Field(8, Number(2, 17))]);
    }

    /// <summary>An ONNX model of one convolution of 2 x 2 taps over an image of one pixel, whose padding and dilation are so large that their products do not fit 32 bits.</summary>
    public static void Convolution(string path, long dilation, long before, long after)
    {
        byte[] weight = [.. Number(1, 64), .. Number(1, 64), .. Number(1, 2), .. Number(1, 2), .. Number(2, 1), .. Text(8, "w"), .. Field(9, new byte[64 * 64 * 16])];
        byte[] graph =
        [
            .. Field(1, [.. Text(1, "x"), .. Text(1, "w"), .. Text(2, "y"), .. Text(3, "far"), .. Text(4, "Conv"), .. Ints("dilations", dilation, dilation), .. Ints("pads", before, before, after, after)]),
            .. Text(2, "g"), .. Field(5, weight), .. Field(11, Typed("x", 1, 64, 1, 1)), .. Field(12, Typed("y", 1, 64, 1, 1)),
        ];
        File.WriteAllBytes(path, [.. Number(1, 8), .. Field(7, graph), .. Field(8, Number(2, 17))]);

        static byte[] Ints(string name, params long[] values) => Field(5, [.. Text(1, name), .. values.SelectMany(v => Number(8, v)), .. Number(20, 7)]);

        static byte[] Typed(string name, params long[] shape) =>
            [.. Text(1, name), .. Field(2, Field(1, [.. Number(1, 1), .. Field(2, [.. shape.SelectMany(d => Field(1, Number(1, d)))])]))];
    }

    private static byte[] Text(int field, string value) => Field(field, Encoding.UTF8.GetBytes(value));

    private static byte[] Field(int field, byte[] value) => [.. Varint((ulong)(field << 3 | 2)), .. Varint((ulong)value.Length), .. value];

    private static byte[] Number(int field, long value) => [.. Varint((ulong)(field << 3)), .. Varint((ulong)value)];

    private static byte[] Varint(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7) bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        return [.. bytes];
    }
}
