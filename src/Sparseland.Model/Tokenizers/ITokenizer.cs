using System.Buffers;

namespace Sparseland.Model.Tokenizers;

/// <summary>Text to token ids and back.</summary>
public interface ITokenizer
{
    /// <summary>The kind under which it is embedded in models: <c>llama2c</c>, <c>bytes</c>.</summary>
    string Kind { get; }

    /// <summary>Number of ids; ids are 0 to this less one.</summary>
    int VocabularySize { get; }

    /// <summary>The id that stands before a text; null when there is none.</summary>
    int? BeginToken { get; }

    /// <summary>The id that ends a text; null when there is none.</summary>
    int? EndToken { get; }

    /// <summary>The ids of a text.</summary>
    /// <param name="text">Any text; characters outside the vocabulary become bytes.</param>
    /// <param name="addBegin">Whether <see cref="BeginToken"/> comes first (when there is one).</param>
    int[] Encode(string text, bool addBegin = true);

    /// <summary>Appends the UTF-8 bytes of one token.</summary>
    /// <param name="previous">The token before it, or -1: some vocabularies drop a space at the start of a text.</param>
    /// <param name="token">The token.</param>
    /// <param name="output">Receives the bytes; a character may be spread over several tokens.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such id.</exception>
    void AppendBytes(int previous, int token, IBufferWriter<byte> output);

    /// <summary>All that is needed to make the tokenizer again.</summary>
    byte[] Serialize();
}
