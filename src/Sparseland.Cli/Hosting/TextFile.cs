using System.Text;
using Sparseland.Model.Formats;

namespace Sparseland.Cli.Hosting;

/// <summary>Writes text files whole or not at all.</summary>
internal static class TextFile
{
    /// <summary>UTF-8 without a mark, temporary name, then rename.</summary>
    public static void Write(string path, string text) => AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));
}
