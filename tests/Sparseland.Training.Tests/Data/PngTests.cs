using System.Buffers.Binary;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Sparseland.Training.Data;
using Sparseland.Training.Data.Pictures;

namespace Sparseland.Training.Tests.Data;

public class PngTests
{
    public static TheoryData<int, int, bool> Forms()
    {
        var forms = new TheoryData<int, int, bool>();
        foreach (bool interlaced in (bool[])[false, true])
        {
            foreach (int depth in (int[])[1, 2, 4, 8, 16])
            {
                forms.Add(0, depth, interlaced);
                if (depth <= 8) forms.Add(3, depth, interlaced);
                if (depth < 8) continue;
                forms.Add(2, depth, interlaced);
                forms.Add(4, depth, interlaced);
                forms.Add(6, depth, interlaced);
            }
        }
        return forms;
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Every_form_is_read_with_every_filter_and_size(int colour, int depth, bool interlaced)
    {
        var random = SeededRandom.Of(colour, depth);
        foreach ((int width, int height) in new[] { (1, 1), (2, 3), (5, 1), (7, 9), (8, 8), (17, 13), (33, 6) })
        {
            foreach (bool transparent in (bool[])[false, true])
            {
                if (transparent && colour is 4 or 6) continue;
                var png = new TestPng(width, height, depth, colour, interlaced, transparent, ref random);
                Picture picture = PngReader.Decode(png.Bytes);
                Assert.Equal((width, height, png.Channels, depth == 16 ? 65535 : 255), (picture.Width, picture.Height, picture.Channels, picture.MaxValue));
                Assert.Equal(png.Expected, picture.Samples);
            }
        }
    }

    [Fact]
    public void What_is_written_is_read()
    {
        var random = SeededRandom.Of(9);
        foreach (int channels in (int[])[1, 2, 3, 4])
        {
            foreach (int max in (int[])[255, 65535])
            {
                var samples = new ushort[11 * 7 * channels];
                for (int i = 0; i < samples.Length; i++) samples[i] = (ushort)random.NextInt(max + 1);
                Picture back = PngReader.Decode(PngWriter.Encode(new Picture(11, 7, channels, max, samples)));
                Assert.Equal((11, 7, channels, max), (back.Width, back.Height, back.Channels, back.MaxValue));
                Assert.Equal(samples, back.Samples);
            }
        }
    }

    [Fact]
    public void Every_cut_and_every_flipped_byte_is_a_typed_error()
    {
        var random = SeededRandom.Of(2);
        byte[] png = new TestPng(9, 5, 8, 2, true, true, ref random).Bytes;
        for (int length = 0; length < png.Length; length++) Assert.Throws<DataException>(() => PngReader.Decode(png[..length]));
        for (int i = 0; i < png.Length; i++)
        {
            byte[] copy = [.. png];
            copy[i] ^= (byte)(1 + random.NextInt(255));
            Assert.Throws<DataException>(() => PngReader.Decode(copy));
        }
    }

    [Fact]
    public void Bombs_are_refused_before_memory_is_taken()
    {
        byte[] Header(int width, int height) => TestPng.File(TestPng.Chunk("IHDR", TestPng.Header(width, height, 8, 2, false)), TestPng.Chunk("IDAT", TestPng.Deflate(new byte[100])), TestPng.Chunk("IEND", []));
        Assert.Equal("SL3002", Assert.Throws<DataException>(() => PngReader.Decode(Header(60_000, 60_000))).Code);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal("SL3001", Assert.Throws<DataException>(() => PngReader.Decode(Header(8_000, 8_000))).Code);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
        // More data than the size announces.
        byte[] long_ = TestPng.File(TestPng.Chunk("IHDR", TestPng.Header(2, 2, 8, 0, false)), TestPng.Chunk("IDAT", TestPng.Deflate(new byte[50_000_000])), TestPng.Chunk("IEND", []));
        before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<DataException>(() => PngReader.Decode(long_));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
    }

    [Fact]
    public void Rules_about_chunks_are_kept()
    {
        byte[] ihdr = TestPng.Chunk("IHDR", TestPng.Header(1, 1, 8, 3, false)), idat = TestPng.Chunk("IDAT", TestPng.Deflate([0, 1])), end = TestPng.Chunk("IEND", []);
        byte[] palette = TestPng.Chunk("PLTE", [1, 2, 3, 4, 5, 6]);
        Assert.Equal([4, 5, 6], PngReader.Decode(TestPng.File(ihdr, palette, TestPng.Chunk("tEXt", [65, 0, 66]), idat, end)).Samples.Select(v => (int)v));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(ihdr, idat, end)));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(ihdr, TestPng.Chunk("PLTE", [1, 2, 3]), idat, end)));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(ihdr, palette, palette, idat, end)));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(ihdr, palette, TestPng.Chunk("XYZW", []), idat, end)));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(ihdr, palette, TestPng.Chunk("tRNS", [1, 2, 3]), idat, end)));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(ihdr, palette, end)));
        Assert.Throws<DataException>(() => PngReader.Decode(TestPng.File(palette, ihdr, idat, end)));
    }

    [Fact]
    public void Planes_grey_and_resizing()
    {
        var colour = new Picture(2, 1, 3, 255, [255, 0, 0, 10, 20, 30]);
        Assert.Equal([255, 10, 0, 20, 0, 30], colour.ToPlanes(3).Select(b => (int)b));
        Assert.Equal([76, 18], colour.ToPlanes(1).Select(b => (int)b));
        Assert.Equal([7, 7, 7], new Picture(1, 1, 2, 65535, [7 * 257, 9]).ToPlanes(3).Select(b => (int)b));
        var even = new Picture(4, 4, 1, 255, [.. Enumerable.Repeat((ushort)99, 16)]);
        Assert.All(even.Resize(7, 3).Samples, v => Assert.Equal(99, v));
        Assert.All(even.Resize(2, 2).Samples, v => Assert.Equal(99, v));
        // A ramp keeps its mean and its direction.
        var ramp = new Picture(8, 1, 1, 255, [0, 32, 64, 96, 128, 160, 192, 224]);
        ushort[] half = ramp.Resize(4, 1).Samples;
        Assert.Equal(half.Order(), half);
        Assert.InRange(half.Average(v => v), 111, 113);
        Assert.Equal([96, 128], ramp.CenterCrop(2, 1).Samples.Select(v => (int)v));
    }

    [SkippableTheory]
    [InlineData("b96470161b834f91d362fddaef4eef5e3b8d83be52b6c5b5790475a14430efa7", "nerf-fox-135x240", "images", "0045.png")]
    [InlineData("b4d2a09eec3f377a564d144c531056b5d8f528848ed1097f70caf7541c74041e", "images-sr-denoise", "bsd68", "test002.png")]
    public void Real_pictures_agree_with_an_independent_decoder(string sha256, params string[] path)
    {
        Picture picture = PngReader.Read(TestData.Require(path));
        byte[] bytes = Array.ConvertAll(picture.Samples, v => (byte)v);
        Assert.Equal(sha256, Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    /// <summary>An encoder of its own for every form, random pixels, random filters.</summary>
    private sealed class TestPng
    {
        public TestPng(int width, int height, int depth, int colour, bool interlaced, bool transparent, ref SeededRandom random)
        {
            int samples = colour switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 }, top = (1 << depth) - 1;
            int entries = colour == 3 ? Math.Min(top + 1, 1 + random.NextInt(256)) : 0;
            var values = new int[height, width, samples];
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                {
                    for (int s = 0; s < samples; s++) values[y, x, s] = colour == 3 ? random.NextInt(entries) : random.NextInt(top + 1);
                }
            }
            byte[] palette = new byte[entries * 3];
            for (int i = 0; i < palette.Length; i++) palette[i] = (byte)random.NextInt(256);
            byte[] alpha = new byte[Math.Max(1, entries / 2)];
            for (int i = 0; i < alpha.Length; i++) alpha[i] = (byte)random.NextInt(256);
            int[] key = [.. Enumerable.Range(0, samples).Select(s => values[height / 2, width / 2, s])];

            int colours = colour == 3 ? 3 : samples;
            Channels = colours + (transparent ? 1 : 0);
            var expected = new List<ushort>();
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                {
                    int[] v = [.. Enumerable.Range(0, samples).Select(s => values[y, x, s])];
                    if (colour == 3)
                    {
                        expected.AddRange(palette.AsSpan(v[0] * 3, 3).ToArray().Select(b => (ushort)b));
                        if (transparent) expected.Add(v[0] < alpha.Length ? alpha[v[0]] : (ushort)255);
                        continue;
                    }
                    foreach (int one in v) expected.Add((ushort)(depth < 8 ? one * 255 / top : one));
                    if (transparent) expected.Add(v.SequenceEqual(key) ? (ushort)0 : (ushort)(depth == 16 ? 65535 : 255));
                }
            }
            Expected = [.. expected];

            var raw = new List<byte>();
            (int, int, int, int)[] passes = interlaced
                ? [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
                : [(0, 0, 1, 1)];
            foreach ((int x0, int y0, int dx, int dy) in passes)
            {
                byte[]? above = null;
                for (int y = y0; y < height && x0 < width; y += dy)
                {
                    var bits = new List<int>();
                    for (int x = x0; x < width; x += dx)
                    {
                        for (int s = 0; s < samples; s++)
                        {
                            for (int b = depth - 1; b >= 0; b--) bits.Add(values[y, x, s] >> b & 1);
                        }
                    }
                    byte[] line = new byte[(bits.Count + 7) / 8];
                    for (int i = 0; i < bits.Count; i++) line[i / 8] |= (byte)(bits[i] << (7 - i % 8));
                    raw.AddRange(Filter(random.NextInt(5), line, above ?? new byte[line.Length], Math.Max(1, samples * depth / 8)));
                    above = line;
                }
            }
            byte[] data = Deflate([.. raw]);
            int cut = data.Length / 2;
            var chunks = new List<byte[]> { Chunk("IHDR", Header(width, height, depth, colour, interlaced)), Chunk("gAMA", [0, 0, 177, 143]) };
            if (colour == 3) chunks.Add(Chunk("PLTE", palette));
            if (transparent) chunks.Add(Chunk("tRNS", colour == 3 ? alpha : [.. key.SelectMany(k => new[] { (byte)(k >> 8), (byte)k })]));
            chunks.AddRange([Chunk("IDAT", data[..cut]), Chunk("IDAT", data[cut..]), Chunk("IEND", [])]);
            Bytes = File([.. chunks]);
        }

        public byte[] Bytes { get; }

        public ushort[] Expected { get; }

        public int Channels { get; }

        public static byte[] Header(int width, int height, int depth, int colour, bool interlaced)
        {
            byte[] header = new byte[13];
            BinaryPrimitives.WriteInt32BigEndian(header, width);
            BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
            (header[8], header[9], header[12]) = ((byte)depth, (byte)colour, interlaced ? (byte)1 : (byte)0);
            return header;
        }

        public static byte[] Deflate(byte[] raw)
        {
            using var memory = new MemoryStream();
            using (var zlib = new ZLibStream(memory, CompressionLevel.Fastest, true)) zlib.Write(raw);
            return memory.ToArray();
        }

        public static byte[] File(params byte[][] chunks) => [137, 80, 78, 71, 13, 10, 26, 10, .. chunks.SelectMany(c => c)];

        public static byte[] Chunk(string name, byte[] body)
        {
            byte[] chunk = [0, 0, 0, 0, .. Encoding.ASCII.GetBytes(name), .. body, 0, 0, 0, 0];
            BinaryPrimitives.WriteInt32BigEndian(chunk, body.Length);
            uint crc = uint.MaxValue;
            foreach (byte b in chunk.AsSpan(4, body.Length + 4))
            {
                crc ^= b;
                for (int k = 0; k < 8; k++) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
            }
            BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(body.Length + 8), ~crc);
            return chunk;
        }

        private static byte[] Filter(int filter, byte[] line, byte[] above, int step)
        {
            byte[] result = new byte[line.Length + 1];
            result[0] = (byte)filter;
            for (int i = 0; i < line.Length; i++)
            {
                int a = i >= step ? line[i - step] : 0, b = above[i], c = i >= step ? above[i - step] : 0;
                int p = a + b - c, pa = Math.Abs(p - a), pb = Math.Abs(p - b), pc = Math.Abs(p - c);
                int guess = filter switch { 1 => a, 2 => b, 3 => (a + b) / 2, 4 => pa <= pb && pa <= pc ? a : pb <= pc ? b : c, _ => 0 };
                result[i + 1] = (byte)(line[i] - guess);
            }
            return result;
        }
    }
}
