using System.Text;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;

namespace Sparseland.Model.Tests.Tokenizers;

public sealed class TokenizerTests
{
    private static byte[] File(params (string Piece, float Score)[] more)
    {
        var stream = new MemoryStream();
        stream.Write(BitConverter.GetBytes(16));
        IEnumerable<(string, float)> all = new[] { ("<unk>", 0f), ("\n<s>\n", 0f), ("\n</s>\n", 0f) }.Concat(Enumerable.Range(0, 256).Select(b => ($"<0x{b:X2}>", 0f))).Concat(more);
        foreach ((string piece, float score) in all)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(piece);
            stream.Write(BitConverter.GetBytes(score));
            stream.Write(BitConverter.GetBytes(bytes.Length));
            stream.Write(bytes);
        }
        return stream.ToArray();
    }

    /// <summary>The definition of the encoding, without any cleverness.</summary>
    private static List<int> Naive(List<string> pieces, Dictionary<string, int> ids, Dictionary<string, float> scores)
    {
        while (true)
        {
            int best = -1;
            for (int i = 0; i + 1 < pieces.Count; i++)
            {
                if (ids.ContainsKey(pieces[i] + pieces[i + 1]) && (best < 0 || scores[pieces[i] + pieces[i + 1]] > scores[pieces[best] + pieces[best + 1]])) best = i;
            }
            if (best < 0) return pieces.ConvertAll(p => ids[p]);
            pieces[best] += pieces[best + 1];
            pieces.RemoveAt(best + 1);
        }
    }

    [Fact]
    public void Merging_agrees_with_the_definition_on_random_vocabularies()
    {
        var random = new Random(7);
        for (int trial = 0; trial < 200; trial++)
        {
            var pieces = new List<(string, float)> { (" ", -1), ("a", -2), ("b", -3), ("c", -4) };
            for (int k = 0; k < 25; k++)
            {
                string piece = new([.. Enumerable.Range(0, random.Next(2, 5)).Select(_ => " abc"[random.Next(4)])]);
                if (!pieces.Exists(p => p.Item1 == piece)) pieces.Add((piece, random.Next(-6, 0)));
            }
            Llama2cTokenizer tokenizer = Llama2cTokenizer.Parse(File([.. pieces]), "test");
            var ids = pieces.Select((p, i) => (p.Item1, i)).ToDictionary(p => p.Item1, p => 259 + p.i);
            var scores = pieces.ToDictionary(p => p.Item1, p => p.Item2);
            string text = new([.. Enumerable.Range(0, random.Next(1, 60)).Select(_ => " abc"[random.Next(4)])]);
            int[] encoded = tokenizer.Encode(text, addBegin: false);
            Assert.Equal(Naive([" ", .. text.Select(c => c.ToString())], ids, scores), encoded);
            Assert.Equal(text, tokenizer.Decode(encoded));
        }
    }

    [SkippableFact]
    public void Any_text_survives_both_ways()
    {
        Llama2cTokenizer tokenizer = Llama2cTokenizer.Load(TestData.Require("tokenizers", "llama2", "tokenizer.bin"));
        Assert.Equal(32000, tokenizer.VocabularySize);
        foreach (string text in new[] { "", "Hello, world!", "  two spaces", "żółw 𝄞 漢字 🙂", "line\nline\ttab" })
        {
            int[] ids = tokenizer.Encode(text);
            Assert.Equal(1, ids[0]);
            Assert.Equal(text, tokenizer.Decode(ids));
            var stream = new TokenTextStream(tokenizer);
            Assert.Equal(text, string.Concat(ids.Select(stream.Push)));
        }
        // Known ids of the Llama-2 vocabulary.
        Assert.Equal([1, 15043, 29892, 3186, 29991], tokenizer.Encode("Hello, world!"));
        string[] inputs = System.IO.File.ReadAllText(TestData.Require("tokenizers", "gguf", "ggml-vocab-llama-spm.gguf.inp")).Split("\n__ggml_vocab_test__\n");
        string[] outputs = System.IO.File.ReadAllLines(TestData.Require("tokenizers", "gguf", "ggml-vocab-llama-spm.gguf.out"));
        int compared = 0;
        for (int i = 0; i < inputs.Length && i < outputs.Length; i++)
        {
            if (inputs[i].Length == 0) continue;
            Assert.Equal(outputs[i].Trim(), string.Join(" ", tokenizer.Encode(inputs[i], addBegin: false)));
            compared++;
        }
        Assert.True(compared > 30);
    }

    [Fact]
    public void Bytes_are_tokens_of_the_byte_tokenizer()
    {
        ITokenizer tokenizer = ByteTokenizer.Instance;
        Assert.Equal([0xC3, 0xA9, 0x21], tokenizer.Encode("é!"));
        Assert.Equal("é!", tokenizer.Decode([0xC3, 0xA9, 0x21]));
        Assert.Equal("�", tokenizer.Decode([0xC3]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([256]));
        var stream = new TokenTextStream(tokenizer);
        Assert.Equal(["", "é", "!"], new[] { 0xC3, 0xA9, 0x21 }.Select(stream.Push));
    }

    [Fact]
    public void A_tokenizer_travels_inside_the_model()
    {
        var graph = new ModelGraph("g");
        Assert.Null(Tokenizer.Find(graph));
        Llama2cTokenizer tokenizer = Llama2cTokenizer.Parse(File((" a", 1), ("b", 2)), "test");
        Tokenizer.Embed(graph, tokenizer);
        Assert.Equal(tokenizer.Encode(" ab é"), Tokenizer.Find(graph)!.Encode(" ab é"));
        Tokenizer.Embed(graph, ByteTokenizer.Instance);
        Assert.IsType<ByteTokenizer>(Tokenizer.Find(graph));
        graph.Metadata[ModelMetadata.TokenizerKind] = "unheard";
        Assert.Equal("SL1504", Assert.Throws<ModelFormatException>(() => Tokenizer.Find(graph)).Code);
        graph.Metadata[ModelMetadata.TokenizerKind] = "llama2c";
        Assert.Equal("SL1503", Assert.Throws<ModelFormatException>(() => Tokenizer.Find(graph)).Code);
        graph.Metadata[ModelMetadata.TokenizerData] = "***";
        Assert.Equal("SL1503", Assert.Throws<ModelFormatException>(() => Tokenizer.Find(graph)).Code);
    }

    [Fact]
    public void Unsound_tokenizers_are_typed_errors()
    {
        byte[] sound = File(("a", 1));
        foreach (byte[] bytes in new[] { [], sound[..3], sound[..^1], sound[..2000], File().AsSpan(..^8).ToArray() })
            Assert.Equal("SL1503", Assert.Throws<ModelFormatException>(() => Llama2cTokenizer.Parse(bytes, "test")).Code);
        byte[] length = [.. sound];
        BitConverter.GetBytes(int.MaxValue).CopyTo(length, 8);
        Assert.Equal("SL1503", Assert.Throws<ModelFormatException>(() => Llama2cTokenizer.Parse(length, "test")).Code);
    }
}
