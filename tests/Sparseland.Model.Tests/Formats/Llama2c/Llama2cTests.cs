using System.Text.Json;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats.Llama2c;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;

namespace Sparseland.Model.Tests.Formats.Llama2c;

public sealed class Llama2cTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static float[] Logits(ModelGraph graph, IEnumerable<int> tokens)
    {
        long[] ids = [.. tokens.Select(t => (long)t)];
        return GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["tokens"] = TensorData.Wrap(ids, 1, ids.Length) })["logits"].Array<float>();
    }

    private static int[] Ids(JsonElement reference, string name) => [.. reference.GetProperty(name).EnumerateArray().Select(e => e.GetInt32())];

    [SkippableTheory]
    [InlineData("checkpoint_legacy.bin")]
    [InlineData("checkpoint_v1.bin")]
    public void The_stories_model_gives_the_reference_logits_and_text(string file)
    {
        ModelGraph graph = Llama2cReader.Load(TestData.Require("lm-stories260k", file));
        JsonElement reference = JsonDocument.Parse(File.ReadAllText(TestData.Require("lm-stories260k", "reference.json"))).RootElement;
        float[] expected = NpyReader.Read(TestData.Require("lm-stories260k", "reference_logits.npy")).Array<float>();
        Near.Equal(expected, Logits(graph, Ids(reference, "logits_input_ids")), 1e-4, 1e-5, file);

        ITokenizer tokenizer = Tokenizer.Find(graph)!;
        Assert.Equal(Ids(reference, "prompt_ids"), tokenizer.Encode(reference.GetProperty("prompt").GetString()!));
        int[] greedy = Ids(reference, "greedy_ids");
        Assert.Equal(reference.GetProperty("greedy_text").GetString(), tokenizer.Decode(greedy));
        // Teacher forcing: at every position the most likely token is the one that was generated.
        float[] logits = Logits(graph, greedy[..^1]);
        for (int position = Ids(reference, "prompt_ids").Length - 1; position < greedy.Length - 1; position++)
        {
            ReadOnlySpan<float> row = logits.AsSpan(position * 512, 512);
            int best = 0;
            for (int i = 1; i < 512; i++) best = row[i] > row[best] ? i : best;
            Assert.Equal(greedy[position + 1], best);
        }
    }

    [SkippableFact]
    public void Perplexity_of_the_sample_stories_is_the_stated_one()
    {
        ModelGraph graph = Llama2cReader.Load(TestData.Require("lm-stories260k", "checkpoint_v1.bin"));
        ITokenizer tokenizer = Tokenizer.Find(graph)!;
        double loss = 0;
        int count = 0;
        string text = File.ReadAllText(TestData.Require("text", "tinystories_sample_3stories.txt"));
        foreach (string story in text.Split("<|endoftext|>", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int[] ids = tokenizer.Encode(story);
            Assert.Equal(story, tokenizer.Decode(ids));
            float[] logits = Logits(graph, ids);
            for (int i = 0; i + 1 < ids.Length; i++, count++)
            {
                ReadOnlySpan<float> row = logits.AsSpan(i * 512, 512);
                double max = double.NegativeInfinity, sum = 0;
                foreach (float v in row) max = Math.Max(max, v);
                foreach (float v in row) sum += Math.Exp(v - max);
                loss += max + Math.Log(sum) - row[ids[i + 1]];
            }
        }
        Assert.Equal(924, count);
        Assert.Equal(3.3235, Math.Exp(loss / count), 0.001);
    }

    private static byte[] Legacy(int dim = 8, int hidden = 6, int layers = 2, int heads = 2, int kv = 1, int vocab = 10, int sequence = 4, long extra = 0)
    {
        int head = dim / heads, v = Math.Abs(vocab);
        long floats = (long)v * dim * (vocab < 0 ? 2 : 1) + layers * (2L * dim + 2 * dim * dim + 2 * kv * head * dim + 3 * hidden * dim) + dim + sequence * head;
        byte[] file = new byte[28 + 4 * floats + extra];
        int[] header = [dim, hidden, layers, heads, kv, vocab, sequence];
        Buffer.BlockCopy(header, 0, file, 0, 28);
        for (long i = 28; i < file.Length - 3; i += 4) BitConverter.GetBytes((i / 4 % 17 - 8) * 0.1f).CopyTo(file, i);
        return file;
    }

    [Fact]
    public void A_head_of_its_own_is_read_behind_the_rotary_tables()
    {
        byte[] file = Legacy(vocab: -10);
        ModelGraph graph = Llama2cReader.Load(_folder.Write("m.bin", file));
        Assert.False(Llama.FindConfig(graph)!.TiedHead);
        Assert.Equal(BitConverter.ToSingle(file, file.Length - 4), graph.Weights["lm_head.weight"].Read().Array<float>()[^1]);
        Assert.All(Logits(graph, [1, 2, 3]), v => Assert.True(float.IsFinite(v)));
        Assert.Null(Tokenizer.Find(graph));
    }

    [Fact]
    public void Unsound_checkpoints_are_typed_errors()
    {
        string Code(byte[] bytes) => Assert.Throws<ModelFormatException>(() => Llama2cReader.Load(_folder.Write("m.bin", bytes))).Code;
        byte[] sound = Legacy();
        Assert.Equal("SL1501", Code([]));
        Assert.Equal("SL1501", Code(sound[..30]));
        Assert.Equal("SL1501", Code(sound[..^4]));
        Assert.Equal("SL1501", Code([.. sound, 0, 0, 0, 0]));
        Assert.Equal("SL1501", Code(Legacy(heads: 8)));
        byte[] huge = [.. sound];
        BitConverter.GetBytes(int.MaxValue).CopyTo(huge, 0);
        Assert.Equal("SL1501", Code(huge));
        byte[] version = new byte[256];
        BitConverter.GetBytes(0x616b3432).CopyTo(version, 0);
        version[4] = 2;
        Assert.Equal("SL1502", Code(version));
        version[4] = 1;
        Assert.Equal("SL1501", Code(version));
    }

    [SkippableFact]
    public void A_ternary_file_with_the_same_header_is_refused()
    {
        string path = TestData.Require("lm-ternary-llama-3m", "bit_model_lsb.bin");
        Assert.Equal("SL1501", Assert.Throws<ModelFormatException>(() => Llama2cReader.Load(path)).Code);
    }
}
